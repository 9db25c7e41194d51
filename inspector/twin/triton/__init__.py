"""The simulated Triton: a GenTL producer in C++, its device description, and its build."""

"""The operators' page: a process of its own that reads the ledger and the line's status.

It commands nothing; when it dies, the line does not notice.
"""

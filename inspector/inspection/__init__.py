"""The inspection process: from a lane's frames and photo-eye to its gate commands and ledger rows."""

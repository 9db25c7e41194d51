"""What is kept: the ledger (one row per part), the picture archive, the audit trail, the line's status.

The inspection process appends rows to the journal and hands pictures over; neither ever waits for the
disk's sake. The records process (``python -m inspector.records``) carries both to the ledger and the
archive. The operators' page reads.
"""

"""IMAP before login (RFC 3501, RFC 9051)."""

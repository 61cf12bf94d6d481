"""ManageSieve before login (RFC 5804)."""

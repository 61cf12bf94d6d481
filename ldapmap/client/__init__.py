"""A client of LDAP servers: bytes, connections, pools, and several servers behind one question."""

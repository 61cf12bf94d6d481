"""How far one machine's Vestibule goes: tens of thousands of sessions, opened in steps, held, and closed to zero."""

"""Passwords that a server has lately accepted, remembered for the time when none answers."""

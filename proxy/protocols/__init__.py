"""The three mail protocols before login, as bytes: no socket, no loop and no clock are known here."""

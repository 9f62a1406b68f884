"""Headers of our own, which client and server must spell alike."""

HERE_ONLY = "quarterdeck-here-only"  # asks for a session of the asked worker; another's is not found

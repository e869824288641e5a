"""Methods with a partner that is wrong on purpose: it is made weak, so that it sees little but the shortcut; whom it
serves counts less."""

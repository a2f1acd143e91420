"""Who asks and what they may do: tokens, keys, passwords, principal."""

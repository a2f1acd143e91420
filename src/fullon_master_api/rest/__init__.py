"""What may be asked over REST and the cache's sockets: routers by original prefix."""

"""What the service answers over HTTP. The roof hands in what the answers are made of."""

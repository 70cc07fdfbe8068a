"""What the service tells the world about itself: metrics and logs."""

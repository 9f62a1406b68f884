"""What tests lean on is tested itself, where it is more than a few lines."""

"""What happens around an objective while it trains: logging, validation, snapshots, stopping. One callback per file."""

"""What families share: files, digests, loading, prompts, schedules, layer patterns. Knows no family."""

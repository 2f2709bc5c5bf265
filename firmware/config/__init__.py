"""What a camera is told: board profiles, model manifests, settings."""

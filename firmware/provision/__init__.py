"""What set-up brings onto the device: model files from package registries, checked by hash."""

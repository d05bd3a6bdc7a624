"""Encryption of what lies in files and objects: AES-256-GCM under keys from the configuration."""

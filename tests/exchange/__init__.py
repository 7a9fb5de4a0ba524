"""The exchange against a slow and obvious model of its rules."""

"""What a user touches: the command line."""

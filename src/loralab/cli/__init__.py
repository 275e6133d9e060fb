"""What can be done with a finished adapter from the command line; one command per file."""

"""What an agent looks at, one file each."""

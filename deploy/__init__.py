"""What puts the programs onto machines."""

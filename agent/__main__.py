"""`python -m agent`: how the packages start it."""

from agent.main import main

main()

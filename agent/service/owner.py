"""Root who works on a state folder works as its owner: what root wrote there, the agent could not read."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":

    def become_owner(folder: Path) -> None:
        """Windows keeps to who the folder lets in."""
else:
    import pwd

    def become_owner(folder: Path) -> None:
        """For good. Without root rights, or if the folder is root's or not there yet, nothing changes."""
        if os.geteuid() != 0:
            return
        try:
            owner = folder.stat()
        except OSError:
            return
        if owner.st_uid == 0:
            return
        try:
            os.initgroups(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
        except KeyError:  # a user whose account is gone
            os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)

"""Model folders: their sources, the supported kinds, and their needs of this machine."""

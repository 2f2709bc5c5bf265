"""Who this device is and who may do what with it: keys, owner, people, grants."""

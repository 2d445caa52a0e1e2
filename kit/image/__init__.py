"""What is written to a board: app images, partition tables, applications, and the update images made of them."""

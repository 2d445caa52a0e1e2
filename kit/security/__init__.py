"""Who may send what: keys, signatures, certificates, and what a board makes of them."""

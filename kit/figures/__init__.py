"""Every picture that the kit draws. Only `.plot()` of a result reaches up to here."""

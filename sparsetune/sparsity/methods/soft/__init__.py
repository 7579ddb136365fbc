"""Methods that train dense weights behind the mask, one object in each file."""

"""Methods whose optimizer moves nothing outside the mask, one object in each file."""

"""Documents on the wire: references in text, and the management API's bodies."""

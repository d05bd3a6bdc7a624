"""Usage figures: sums of each tenant and of each document, for people who look at them."""

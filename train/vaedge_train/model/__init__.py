"""The model: networks, likelihoods p(x|z), priors p(z), and the objectives that training minimizes."""

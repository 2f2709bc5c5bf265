"""What a camera tells others over the network, where its owner has named them."""

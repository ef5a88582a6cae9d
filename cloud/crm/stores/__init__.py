"""Where things happen: the chain's tree of areas and stores."""

"""One module per Grafana dashboard, and the push that installs them."""

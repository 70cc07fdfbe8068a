"""What operators get: alerts, dashboard, database users, upgrades, and the page that explains them."""

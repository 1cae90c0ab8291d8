//! What people come to the dashboard for, with the clicks counted.

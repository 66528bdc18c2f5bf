"""Tests of the page that the server shows at `/`, in a browser."""

"""Traffic between clients, backends and a Pusher service, recorded."""

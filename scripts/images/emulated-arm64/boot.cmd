setenv state 6
setenv tree ${fdtcontroladdr}
setenv given "console=ttyAMA0 panic=5 quiet systemd.show_status=0 systemd.gpt_auto=no"

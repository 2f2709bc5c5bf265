# U-Boot's part of firmware/update/boot/uboot.py: two records, the newer one that is whole counts; one trial, then back.
# What differs between boards is set before: state, the records' partition; tree, the device tree; given, the command line.
${devtype} dev ${devnum}
setenv seq0 0; setenv seq1 0; setenv good a; setenv try none; setenv spent 1; setenv chosen 1
part start ${devtype} ${devnum} ${state} at0; setexpr at1 ${at0} + 8
if ${devtype} read ${kernel_addr_r} ${at0} 1 && env import -c ${kernel_addr_r} 200 seq good try spent; then setenv seq0 ${seq}; setenv chosen 0; fi
setenv good0 ${good}; setenv try0 ${try}; setenv spent0 ${spent}
if ${devtype} read ${kernel_addr_r} ${at1} 1 && env import -c ${kernel_addr_r} 200 seq good try spent; then setenv seq1 ${seq}; setenv chosen 1; fi
if test ${seq0} -gt ${seq1}; then setenv chosen 0; fi
if test ${seq0} -eq ${seq1} && test ${spent0} = 1; then setenv chosen 0; fi
if test ${chosen} = 0; then setenv seq ${seq0}; setenv good ${good0}; setenv try ${try0}; setenv spent ${spent0}; fi
setenv slot ${good}
if test ${try} != none && test ${spent} = 0; then
  setenv spent 1; setenv slot ${try}; echo "veilcam: trying slot ${try}"
  env export -c -s 200 ${kernel_addr_r} seq good try spent
  if test ${chosen} = 0; then ${devtype} write ${kernel_addr_r} ${at1} 1; else ${devtype} write ${kernel_addr_r} ${at0} 1; fi
fi
setenv number 2; if test ${slot} = b; then setenv number 3; fi
setenv bootargs "${given} veilcam.slot=${slot}"
echo "veilcam: slot ${slot}"
load ${devtype} ${devnum}:${number} ${kernel_addr_r} vmlinuz && load ${devtype} ${devnum}:${number} ${ramdisk_addr_r} initrd && booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${tree}
echo "veilcam: slot ${slot} does not start"; reset

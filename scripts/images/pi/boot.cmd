# The tree and its command line (cmdline.txt, and what the firmware adds) are the firmware's. The kernel and its initial RAM disk are
# larger than what U-Boot leaves for them below the tree.
setenv state 7
setenv tree ${fdt_addr}
setenv kernel_addr_r 0x10000000
setenv ramdisk_addr_r 0x14000000
fdt addr ${tree}
fdt get value given /chosen bootargs

// What stands in for the launcher where a test is about the hub and the client: a native program of BOINC's kind as a shell script. It
// reads and answers the client's shared file, writes its log, obeys quit and abort, and ends when the test says so. It is no
// virtual machine and does no work.

/** Beside the client's slots: "exit N" in it ends the program with that code. */
export const CONTROL = "control"

export function standinScript(logBytes: number): string {
  return `#!/bin/sh
# 8 channels of 1024 bytes: the first byte says whether the rest is a message. 0: from the client; 5: our status.
link() { sed -n 's/^<soft_link>\\(.*\\)<\\/soft_link>.*/\\1/p' "$1" | head -n 1; }
byte() { dd if=boinc_mmap_file bs=1 skip="$1" count=1 2>/dev/null | od -An -tu1 | tr -d ' '; }
put() { printf "$2" | dd of=boinc_mmap_file bs=1 seek="$1" conv=notrunc 2>/dev/null; }
echo "the stand-in begins as process $$" >&2
cp "$(link volunteer.json)" seen.json
cksum "$(link root)" >root.cksum
log=$(link launcher.log)
head -c ${logBytes} /dev/zero | tr '\\\\0' 'x' >"$log"
ticks=0
while :; do
  if [ "$(byte 0)" = 1 ]; then
    said=$(dd if=boinc_mmap_file bs=1024 count=1 2>/dev/null | tail -c +2 | tr -d '\\\\0')
    put 0 '\\\\0'
    echo "the client says $said" >&2
    case $said in
      *'<quit/>'*) exit 0 ;;
      *'<abort/>'*) exit 194 ;;
    esac
  fi
  ticks=$((ticks + 1))
  if [ "$(byte 5120)" = 0 ]; then
    put 5121 "<current_cpu_time>$ticks</current_cpu_time>\\\\n<checkpoint_cpu_time>0</checkpoint_cpu_time>\\\\n<fraction_done>0.01</fraction_done>\\\\n\\\\0"
    put 5120 '\\\\1'
  fi
  if [ -s ../../${CONTROL} ]; then
    read -r _ code <../../${CONTROL}
    : >../../${CONTROL}
    [ "$code" = 0 ] && echo 0 >boinc_finish_called
    echo "told to end with $code" >&2
    exit "$code"
  fi
  sleep 0.2
done
`.replaceAll("\\\\", "\\")
}

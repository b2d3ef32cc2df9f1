# Packages of Debian's archive, unpacked beside the machine's own and not installed. To be sourced.
#
# apt-get fetches them (ACCELSCOPE_DEBIAN_MIRROR names another mirror), with lists and settings of its own here, so their
# signatures are checked against the keys of the package debian-archive-keyring.

# archive SUITE ARCHITECTURE: the lists of a suite, in the folder that this is called in.
archive() {
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg host
  [ -e "$keys" ] || { echo "$keys is missing: apt-get install debian-archive-keyring" >&2; exit 1; }
  host=$(dpkg --print-architecture)
  mkdir -p apt/lists/partial apt/cache/archives/partial
  echo "deb [signed-by=$keys] ${ACCELSCOPE_DEBIAN_MIRROR:-http://deb.debian.org/debian} $1 main" >apt/sources.list
  options=(
    -q
    -o "Dir::Etc::SourceList=$PWD/apt/sources.list" -o Dir::Etc::SourceParts=-
    -o "Dir::State::Lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache"
    -o "APT::Architectures=$host,$2" -o "APT::Architecture=$host" -o APT::Sandbox::User=root
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    # Suites may refer to each other's lists, and only one is asked.
    -o APT::Default-Release= -o Acquire::Retries=3
  )
  apt-get "${options[@]}" update
}

# unpack FOLDER PACKAGE:ARCHITECTURE...
unpack() {
  local folder=$1 package
  shift
  mkdir -p "$folder"
  (cd "$folder" && apt-get "${options[@]}" download "$@")
  for package in "$folder"/*.deb; do
    dpkg -x "$package" "$folder"
    rm "$package"
  done
}

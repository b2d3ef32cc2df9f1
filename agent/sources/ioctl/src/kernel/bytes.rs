//! Keys and values of hash maps as the bytes that the kernel has.

use agent_ebpf::{ChannelKey, ErrorKey, HailoCommand, HailoKey, Key, QuotaKey, Slot};

fn words32(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

pub(super) fn key(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of::<Key>());
    for word in [key.cgroup_v2, key.cgroup_v1, key.executable] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(words32(&[key.executable_device, key.pid, key.device, key.command]));
    bytes
}

pub(super) fn quota_key(key: &QuotaKey) -> Vec<u8> {
    [key.cgroup_v2, key.cgroup_v1]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

pub(super) fn hailo_key(key: HailoKey) -> Vec<u8> {
    words32(&[key.abi, key.command])
}

pub(super) fn hailo_command(command: &HailoCommand) -> Vec<u8> {
    let mut bytes = words32(&[command.kind]);
    let halves = [
        command.channel_at,
        command.engine_at,
        command.count_at,
        command.buffers_at,
        command.stride,
        command.size_at,
        command.most,
        command.inputs,
        command.opcode_at,
        command.switch_opcode,
    ];
    bytes.extend(halves.iter().flat_map(|half| half.to_ne_bytes()));
    bytes
}

/// The 4 bytes at an offset; 0 beyond the end, which no caller asks for.
fn half(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The same with 8 bytes.
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

pub(super) fn count32(bytes: &[u8]) -> u32 {
    half(bytes, 0)
}

pub(super) fn error_key(bytes: &[u8]) -> ErrorKey {
    ErrorKey {
        record: half(bytes, 0),
        errno: half(bytes, 4),
    }
}

pub(super) fn channel_key(bytes: &[u8]) -> ChannelKey {
    ChannelKey {
        record: half(bytes, 0),
        channel: half(bytes, 4),
    }
}

pub(super) fn slot(bytes: &[u8]) -> Slot {
    Slot {
        owner: word(bytes, 0),
        began: word(bytes, 8),
        record: half(bytes, 16),
        device: half(bytes, 20),
        command: half(bytes, 24),
        finish: half(bytes, 28),
        argument: word(bytes, 32),
    }
}

const _: () = assert!(size_of::<Key>() == 40 && size_of::<HailoCommand>() == 24 && size_of::<QuotaKey>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_place() {
        let written = key(&Key {
            cgroup_v2: 1,
            cgroup_v1: 2,
            executable: 3,
            executable_device: 4,
            pid: 5,
            device: 6,
            command: 7,
        });
        assert_eq!(written.len(), size_of::<Key>());
        assert_eq!([word(&written, 0), word(&written, 8), word(&written, 16)], [1, 2, 3]);
        assert_eq!([24, 28, 32, 36].map(|at| half(&written, at)), [4, 5, 6, 7]);
        assert_eq!(hailo_command(&HailoCommand::default()).len(), size_of::<HailoCommand>());
        let place = |offset: usize| offset as u64;
        let mut bytes = [0; size_of::<Slot>()];
        bytes[32..].copy_from_slice(&9_u64.to_ne_bytes());
        bytes[24..28].copy_from_slice(&8_u32.to_ne_bytes());
        assert_eq!(place(std::mem::offset_of!(Slot, argument)), 32);
        assert_eq!((slot(&bytes).argument, slot(&bytes).command), (9, 8));
    }
}

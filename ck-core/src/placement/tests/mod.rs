mod checker;
mod optimal;

use super::*;
use std::time::Instant;

fn cluster(nodes: usize, partitions: usize, rf: u32) -> Input {
    Input {
        replication_factor: rf,
        nodes: (0..nodes).map(|i| NodeSpec{ id: format!("node-{i:05}"), weight: 100, zone: None, draining: false}).collect(),
        partitions: vec![PartitionSpec::default(); partitions],
    }
}
fn adopt(input: &mut Input, placement: &Placement) {
    for (p, part) in input.partitions.iter_mut().enumerate() {
        part.copies = placement.copies[p].iter().map(|&n| CopySpec{ node: placement.nodes[n as usize].clone(), synced: true}).collect();
        part.primary = placement.primaries[p].map(|n| placement.nodes[n as usize].clone());
    }
}
fn report(what: &str, placement: &Placement, t: std::time::Duration) {
    let n = placement.nodes.len();
    let mut c = vec![0u32; n]; let mut q = vec![0u32; n];
    let mut pair = vec![0u32; n*n];
    for (p, nodes) in placement.copies.iter().enumerate() {
        for &a in nodes { c[a as usize] += 1; for &b in nodes { if a<b { pair[a as usize*n+b as usize]+=1; } } }
        if let Some(x) = placement.primaries[p] { q[x as usize]+=1; }
    }
    let sum: u32 = pair.iter().sum();
    let max = pair.iter().max().unwrap();
    let mut min = u32::MAX;
    for a in 0..n { for b in a+1..n { min = min.min(pair[a*n+b]); } }
    let mean = sum as f64 / (n*(n-1)/2) as f64;
    eprintln!("{what:28} {t:9.1?} added {} prim {} copies {}..{} primaries {}..{} pair mean {mean:.2} max {max} ({:.2}x) min {min}", placement.moves.copies_added, placement.moves.primaries_changed,
      c.iter().min().unwrap(), c.iter().max().unwrap(), q.iter().min().unwrap(), q.iter().max().unwrap(), *max as f64/mean);
}

#[test]
fn trial() {
    for (p,n) in [(256,10),(1024,20),(1024,50),(4096,100),(16384,1000)] {
        let mut input = cluster(n,p,3);
        let t=Instant::now(); let a = place(&input); report(&format!("fresh {p}x{n}"), &a, t.elapsed());
        adopt(&mut input, &a);
        let mut join = input.clone();
        join.nodes.push(NodeSpec{ id: "node-00001b".into(), weight: 100, zone: None, draining: false});
        let t=Instant::now(); let b = place(&join); report(&format!("join {p}x{n} lb {}", p*3/(n+1)), &b, t.elapsed());
        let mut leave = input.clone();
        leave.nodes.remove(1);
        let lb = a.copies.iter().filter(|c| c.contains(&1)).count();
        let t=Instant::now(); let b = place(&leave); report(&format!("leave {p}x{n} lb {lb}"), &b, t.elapsed());
        let cold = b.primaries.iter().enumerate().filter(|(p, x)| !leave.partitions[*p].copies.iter().any(|c| c.node == b.nodes[x.unwrap() as usize])).count();
        let t=Instant::now(); let e = elect(&leave); 
        let mut q = vec![0; n-1]; for x in &e.primaries { q[x.unwrap() as usize]+=1; }
        eprintln!("   cold {cold} elect {:?} {}..{} changed {}", t.elapsed(), q.iter().min().unwrap(), q.iter().max().unwrap(), e.primaries_changed);
    }
}

//! Many nodes at once.

use super::support::{RegistryProcess, run};

#[test]
fn fifty_nodes_of_five_processes_start_at_once_and_all_reach_all() {
    run(async {
        let registry = RegistryProcess::fresh().await;
        let mut processes: Vec<_> = (0..5)
            .map(|process| {
                let names: Vec<_> = (0..10).map(|node| format!("c{process}{node}")).collect();
                registry.begin_many(&names.join(" "), 50)
            })
            .collect();
        for process in &mut processes {
            process.says("ready").await;
        }
        for process in &mut processes {
            assert_eq!(process.says("done").await, "10");
        }
    });
}

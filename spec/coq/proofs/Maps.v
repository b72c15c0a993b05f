(** Which operations change the map of a context: set and reset, that of the current one. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import Laws Frame Invariant.
Local Open Scope N_scope.

Section maps.
  Context {M : Type} `{Lawful M}.
  Context (through_cache : bool).
  Implicit Types (s : state M) (c : N).

  (** The operations that bind or unbind. *)
  Definition binds (op : operation) : bool :=
    match op with
    | OpVarSet _ _ _ | OpCapiVarSet (ObjectVariable _) _ _
    | OpVarReset _ (ObjectToken _) | OpTokenExit _ | OpCapiVarReset _ (ObjectToken _) => true
    | _ => false
    end.

  Lemma next_base th s : next_context s <= next_context (current_or_base th s).1.
  Proof. unfold current_or_base. destruct (current _); cbn; lia. Qed.

  Ltac parts E :=
    repeat match type of E with
      | _ ∈ _ ++ _ => apply elem_of_app in E; destruct E as [E | E]
      | _ ∈ _ :: _ => apply elem_of_cons in E; destruct E as [E | E]
      | _ ∈ [] => inversion E
      | _ ∈ map _ _ => apply elem_of_list_fmap in E; destruct E as (? & E & _)
      | AtMap _ = AtMap _ => injection E as ->
      | _ = _ => discriminate E
      end.

  (** A map that is there already is in the footprint of set and reset only, and only if it is current. *)
  Lemma map_footprint th op s c : c < next_context s -> AtMap c ∈ footprint th op s ->
    binds op = true /\ current (thread_of s th) = Some c.
  Proof.
    intros Hc. pose proof (next_base th s) as Hb.
    assert (AtMap c ∈ base_fp th s -> False) as Hbase.
    { unfold base_fp, new_fp. destruct (current _); intros E; parts E; lia. }
    assert (c = current_of th s -> current (thread_of s th) = Some c) as Hcur.
    { unfold current_of. destruct (current (thread_of s th)); cbn; intros ->; [reflexivity | lia]. }
    destruct op; cbn [footprint binds]; unfold on_named, set_fp, reset_fp, named_fp, probe_fp, new_fp, drop_fp,
      return_fp, end_fp, unwind_fp, run_fp, enter_fp;
      repeat match goal with |- context [match ?x with _ => _ end] => destruct x end;
      intros E; parts E; auto; try lia; try (destruct (Hbase E)).
  Qed.

  (** Nothing but set and reset in a thread whose current context it is changes a context's map. *)
  Theorem map_frame th op s c : is_thread s th -> c < next_context s ->
    binds op = false \/ current (thread_of s th) <> Some c ->
    ctx_map (context_of (operate through_cache th op s).1 c) = ctx_map (context_of s c).
  Proof.
    intros L Hc Hn. apply (frame through_cache th op s L (AtMap c)). intros E.
    apply map_footprint in E as [B Cu]; [|exact Hc]. destruct Hn; congruence.
  Qed.

  (** Contexts are never lost: the next number only grows. *)
  Lemma next_operate th op s : next_context s <= next_context (operate through_cache th op s).1.
  Proof.
    assert (forall v x, next_context (set_cache v x s) = next_context s) as Hcache.
    { intros v x. unfold set_cache. destruct (variables s !! v); reflexivity. }
    assert (forall r v x, next_context (set_cache v x r) = next_context (M := M) r) as Hcache'.
    { intros r v x. unfold set_cache. destruct (variables r !! v); reflexivity. }
    pose proof (next_base th s) as Hb.
    assert (forall d v, next_context (get through_cache th v d s).1 = next_context s) as Hget.
    { intros d v. unfold get. destruct (held_variable s v); [|reflexivity].
      destruct (lookup _ _ _ _ _); [apply Hcache | reflexivity]. }
    assert (forall v b id, next_context s <= next_context (set th v b id s).1) as Hset.
    { intros v b id. unfold set. destruct (held_variable s v); [|reflexivity]. destruct (_ || _); [reflexivity|].
      destruct (current_or_base th s) as [s' c]. cbn [fst] in *. unfold bind, fill_cache. rewrite Hcache'. exact Hb. }
    assert (forall v id t, next_context s <= next_context (reset th v id t s).1) as Hreset.
    { intros v id t. unfold reset. destruct (tok_used t); [reflexivity|]. destruct (negb _); [reflexivity|].
      destruct (current_or_base th s) as [s' c]. cbn [fst] in *. destruct (negb _); [exact Hb|].
      destruct (variables s' !! v); [|exact Hb].
      destruct (tok_old t); [|destruct (present _); [|exact Hb]]; cbn [fst]; unfold bind, unbind, fill_cache; rewrite Hcache'; exact Hb. }
    assert (forall c name r, next_context (enter th c name r).1 = next_context (M := M) r) as Henter.
    { intros. unfold enter. destruct (ctx_entered _); reflexivity. }
    assert (forall c name r, next_context (exit th c name r).1 = next_context (M := M) r) as Hexit.
    { intros. unfold exit. destruct (negb _); [reflexivity|]. destruct (negb _); reflexivity. }
    assert (forall r o, next_context (run_end th o r).1 = next_context (M := M) r) as Hend.
    { intros. unfold run_end. destruct (th_frames (thread_of r th)) as [|[c name] frames]; [reflexivity|].
      specialize (Hexit c name (set_frames th frames r)).
      destruct (exit th c name (set_frames th frames r)) as [s' [e|]]; exact Hexit. }
    destruct op; cbn [operate]; try reflexivity; unfold new_variable, reset_any, on_token, on_context, run_begin, look_up, iterate,
      next, attempt, run_at_once, weak_reference, drop, copy, add_watcher, clear_watcher, start_thread, end_thread, has_current,
      copy_current, copy, answer, refuse.
    all: try match goal with |- context [reset] => idtac | |- context [enter] => idtac | |- context [get] => idtac
      | |- context [current_or_base] => idtac | |- context [run_end] => idtac | |- context [unwind] => idtac
      | _ => repeat match goal with |- context [match ?x with _ => _ end] => destruct x end; cbn; lia end.
    - rewrite Hget. reflexivity.
    - apply Hset.
    - destruct (held_variable s variable); [|reflexivity]. destruct token; try reflexivity.
      destruct (held_token s id); [apply Hreset | reflexivity].
    - destruct (held_token s token); [apply Hreset | reflexivity].
    - destruct (current_or_base th s) as [s' c]. cbn in *. lia.
    - destruct (names s !! context) as [c|]; [|reflexivity]. specialize (Henter c context s).
      destruct (enter th c context s) as [s' [e|]]; cbn in *; lia.
    - rewrite Hend. reflexivity.
    - rewrite Hend. reflexivity.
    - destruct (negb _); [reflexivity|]. destruct tried, on; try reflexivity; (destruct (names s !! id) as [c|]; [|reflexivity]);
        specialize (Henter c id s); destruct (enter th c id s) as [s' [e|]]; cbn [fst] in *; try lia;
        specialize (Hexit c id s'); destruct (exit th c id s') as [s2 [e|]]; cbn [fst] in *; lia.
    - destruct (current_or_base th s) as [s' c]. cbn in *. lia.
    - destruct context; try reflexivity. destruct (names s !! id) as [c|]; [|reflexivity]. specialize (Henter c id s).
      destruct (enter th c id s) as [s' [e|]]; cbn in *; lia.
    - destruct context; try reflexivity. destruct (names s !! id) as [c|]; [|reflexivity]. specialize (Hexit c id s).
      destruct (exit th c id s) as [s' [e|]]; cbn in *; lia.
    - destruct variable; try reflexivity. specialize (Hget given id). destruct (get through_cache th id given s) as [s' o].
      cbn in Hget. destruct o; try (cbn; lia). destruct raised; cbn; lia.
    - destruct variable; try reflexivity. apply Hset.
    - destruct (is_bound s variable && is_bound s token); [|reflexivity]. destruct variable; try reflexivity.
      destruct token; try reflexivity. destruct (held_token s id0); [apply Hreset | reflexivity].
    - cbn. assert (forall frames r, next_context (unwind frames th r) = next_context (M := M) r) as Hun.
      { induction frames as [|f frames IH]; intros r; [reflexivity|]. cbn. rewrite IH. apply Hend. }
      rewrite Hun. reflexivity.
  Qed.
End maps.
